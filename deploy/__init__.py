"""What puts Civicloom on a machine: containers, topics, and the local run without either."""
