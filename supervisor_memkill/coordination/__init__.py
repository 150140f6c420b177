"""Agreeing on who may drain: the contract, its rules, and the places where it is kept."""
