// exit() inside a callback ends the process with its own code, whoever runs the callback and although the engine is a global object.
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

/// Does not come back.
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
  static std::atomic<bool> started{false};  // a call into the engine that is under way elsewhere is the program's own affair
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
  h.max_message_size = 65536;
  if (loop->open(h, calls)) {
    if (how == driven_by::run) {
      started = true;
      static_cast<void>(loop->run());
    } else if (loop->start()) {
      started = true;
      std::this_thread::sleep_for(patience);  // a guard: the process ends long before
    }
  }
  std::_Exit(no_callback);
}

class flow_exit : public testing::TestWithParam<std::tuple<driven_by, bool>> {};
INSTANTIATE_TEST_SUITE_P(on, flow_exit,
                         testing::Combine(testing::Values(driven_by::own_thread, driven_by::workers, driven_by::run), testing::Bool()),
                         [](const auto& info) {
                           return std::string(names[static_cast<int>(std::get<0>(info.param))]) +
                                  (std::get<1>(info.param) ? "_destroys_the_engine" : "");
                         });

TEST_P(flow_exit, in_a_callback_ends_the_process_with_its_own_code) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto [how, destroys] = GetParam();
  EXPECT_EXIT(exit_in_a_callback(how, destroys), testing::ExitedWithCode(own_code), "");
}

}  // namespace
}  // namespace cpgring::test
