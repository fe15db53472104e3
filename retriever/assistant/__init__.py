"""How does an AI assistant ask an index, by the Model Context Protocol?

`server.py` has the tools, their descriptions and limits; `results.py` what they return, typed, and in words that an
assistant can quote; `follow.py` keeps the index open and goes along with it when it is made anew; `transports.py`
runs it all over standard input and output, or over HTTP.

Useful for assistants that speak the protocol.
Not for programs: that is `retriever.Retriever`, or the command line's JSON.
"""
