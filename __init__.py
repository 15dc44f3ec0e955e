"""gmbench: does a classifier with a likelihood-based defense really hold?"""
