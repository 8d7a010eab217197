// Everything of cpgring. Start at engine.hpp; README.md has the first program.
#pragma once

#include <cpgring/await.hpp>
#include <cpgring/engine.hpp>
#include <cpgring/error.hpp>
#include <cpgring/event.hpp>
#include <cpgring/handle.hpp>
#include <cpgring/histogram.hpp>
#include <cpgring/log.hpp>
#include <cpgring/mode.hpp>
#include <cpgring/options.hpp>
#include <cpgring/service.hpp>
#include <cpgring/service_faults.hpp>
#include <cpgring/stats.hpp>
#include <cpgring/view.hpp>
