// tests/catch.hpp: the one place that knows where Catch2 lives (2.x in Debian 12, 3.x in Debian 13)
#pragma once
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif
