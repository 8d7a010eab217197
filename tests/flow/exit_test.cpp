// exit() inside a callback ends the process with the given code, whichever thread runs the callback, even if
// the engine is a global object.
#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

constexpr int own_code = 42, no_callback = 3;

enum class driven_by { own_thread, workers, run };
constexpr const char* names[] = {"own_thread", "workers", "run"};

/// Never returns: exits inside a callback.
[[noreturn]] void exit_in_a_callback(driven_by how, bool destroys_the_engine) {
  static std::unique_ptr<embedded_service> service;
  static std::unique_ptr<engine> loop;
  service = std::make_unique<embedded_service>();
  engine_options options;
  options.workers = how == driven_by::workers ? 2 : 0;
  loop = std::make_unique<engine>(options);
  callbacks calls;
  calls.on_state = [](handle& h, const state_change& s) {
    if (s.to == handle_state::joined && !h.multicast("x")) {
      std::_Exit(no_callback);
    }
  };
  // The callback exits only after start() has returned: a program must not exit during a call into the
  // engine.
  static std::atomic<bool> started{false};
  calls.on_message = [destroys_the_engine](handle&, const message&) {
    while (!started) {
      std::this_thread::yield();
    }
    if (destroys_the_engine) {
      loop.reset();
    }
    std::exit(own_code);
  };
  handle_options h;
  h.service = service->name();
  h.group = "g";
  h.ring_bytes = 65536;
  if (loop->open(h, std::move(calls))) {
    if (how == driven_by::run) {
      started = true;
      static_cast<void>(loop->run());
    } else if (loop->start()) {
      started = true;
      std::this_thread::sleep_for(patience);  // only reached if the callback never runs
    }
  }
  std::_Exit(no_callback);
}

class flow_exit : public ::testing::TestWithParam<std::tuple<driven_by, bool>> {};
INSTANTIATE_TEST_SUITE_P(on, flow_exit,
                         ::testing::Combine(::testing::Values(driven_by::own_thread, driven_by::workers,
                                                              driven_by::run),
                                            ::testing::Bool()),
                         [](const auto& info) {
                           return std::string(names[static_cast<int>(std::get<0>(info.param))]) +
                                  (std::get<1>(info.param) ? "_destroys_the_engine" : "");
                         });

TEST_P(flow_exit, inside_a_callback_ends_the_process_with_the_given_code) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto [how, destroys] = GetParam();
  EXPECT_EXIT(exit_in_a_callback(how, destroys), ::testing::ExitedWithCode(own_code), "");
}

}  // namespace
}  // namespace cpgring::test
