// A user's test with a service that hangs up on its first client, whose handle uses a made-up process id.
#include <cpgring/cpgring.hpp>
#include <cpgring/service.hpp>
#include <cpgring/testing.hpp>

#include <optional>
#include <utility>

int main() {
  cpgring::testing::service_faults faults;
  faults.hang_up = {.probability = 1, .after = 0, .at_most = 1};
  const auto injector = cpgring::testing::fault_injector::create(faults);
  if (!injector) {
    return 1;
  }
  cpgring::embedded_service_options bad;
  bad.interceptor = *injector;
  cpgring::embedded_service service(bad);
  cpgring::engine engine;
  cpgring::handle_options options;
  options.service = service.name();
  options.group = "consumer";
  options.ring_bytes = 65536;
  cpgring::testing::simulate_pid(options, 1000000000);
  std::optional<cpgring::error> why;
  cpgring::callbacks calls;
  calls.on_state = [&](cpgring::handle&, const cpgring::state_change& s) {
    if (s.to == cpgring::handle_state::lost) {
      why = *s.cause;
      engine.stop();
    }
  };
  if (!engine.open(options, std::move(calls)) || !engine.run() || !why ||
      *why != cpgring::errc::service_lost) {
    return 2;
  }
  return (*injector)->stats().hang_ups == 1 ? 0 : 3;
}
