// All headers of the client library. Start at engine.hpp; README.md has a first program.
//
// Not included: service.hpp (an embedded CPG service) and testing.hpp (a service that commits faults).
#pragma once

#if __cplusplus < 202002L
#error "cpgring needs C++20: compile with -std=c++20"
#else

#include <cpgring/await.hpp>
#include <cpgring/engine.hpp>
#include <cpgring/error.hpp>
#include <cpgring/event.hpp>
#include <cpgring/function.hpp>
#include <cpgring/handle.hpp>
#include <cpgring/histogram.hpp>
#include <cpgring/log.hpp>
#include <cpgring/mode.hpp>
#include <cpgring/options.hpp>
#include <cpgring/stats.hpp>
#include <cpgring/view.hpp>

#endif
