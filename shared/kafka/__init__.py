"""The Kafka client behind typed adapters: records in and out as bytes, topics declared and administered."""
