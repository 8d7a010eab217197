// A program with an embedded service: both libraries use the same error category.
#include <cpgring/cpgring.hpp>
#include <cpgring/service.hpp>

#include <optional>
#include <utility>

int main() {
  cpgring::embedded_service_options wrong;
  wrong.node_id = 0;
  const auto refused = cpgring::embedded_service::create(wrong);
  if (refused || refused.error() != cpgring::errc::invalid_param ||
      refused.error().code.category() != cpgring::error_category()) {
    return 1;
  }
  auto made_service = cpgring::embedded_service::create();
  auto made_engine = cpgring::engine::create();
  if (!made_service || !made_engine) {
    return 5;
  }
  cpgring::embedded_service& service = *made_service;
  cpgring::engine& engine = *made_engine;
  cpgring::handle_options options;
  options.service = service.name();
  options.group = "consumer";
  options.ring_bytes = 65536;
  int exit_code = 2;
  cpgring::callbacks calls;
  calls.on_state = [&](cpgring::handle&, const cpgring::state_change& s) {
    if (s.to == cpgring::handle_state::joined || s.cause != nullptr) {
      exit_code = s.cause == nullptr ? 0 : 3;
      engine.stop();
    }
  };
  if (!engine.open(options, std::move(calls)) || !engine.run()) {
    return 4;
  }
  return exit_code;
}
