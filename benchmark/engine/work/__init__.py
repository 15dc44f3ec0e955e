"""Work in pieces: the same in this process and on workers anywhere.

The client (`gmbench.benchmark.engine.run`) knows the store and decides; whoever performs knows neither. Begin
with `piece`, what one worker does at once, then `perform`, which does it; `lacking` says what there is to do.
"""
