// tests/pch.cpp: which file carries the precompiled Catch? (this one; it holds nothing else)
