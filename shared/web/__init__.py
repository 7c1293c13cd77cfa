"""What every service's pages and APIs share: the application, problem documents, people and machines,
pages, streams.
"""
