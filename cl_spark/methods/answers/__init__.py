"""Answers of language models: how far each can be trusted."""
