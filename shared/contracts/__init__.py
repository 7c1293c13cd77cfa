"""The event contract: one model per event type and version. Everything here is promised to other systems.

A new type costs its contract class in the module of its writer, its handler, and its words in two languages
(`services/audit/pages/messages`). The registry finds the class; `civicloom contracts write` generates its
schema, its example and its part of the AsyncAPI document. Only a new topic needs more: `addresses.py`,
`readers.py`, a description in `asyncapi.py`, and `deploy/topics.yaml`.
"""
