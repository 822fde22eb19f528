"""The agent on a real GPU, where there is one: ``make test-gpu``. No part of the tests that need none."""
