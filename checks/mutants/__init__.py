"""Breaks the pure code one line at a time, and sees whether a test notices; `make mutants`.

Why a driver of our own, over `ast`: mutmut changes only what is inside undecorated functions, so that it sees
neither the tables of states and rules, nor properties and validators; and it runs a copy of the code in which
every function is replaced. cosmic-ray writes each mutant into the working tree, where a run that is killed
leaves it, starts an interpreter for each, and cannot leave out an argument, an operand or a row of a table.
Here a mutant exists only in a forked process, and costs what its tests cost.
"""
