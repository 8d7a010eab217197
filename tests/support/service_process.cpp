#include "support/service_process.hpp"

#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

ended control(const char* verb) { return child({std::getenv("COROSYNC_CONTROL"), verb}).wait(); }

/// True if /proc shows every thread of the process in the state `wanted`; false if the process has ended.
bool every_thread_is(pid_t pid, char wanted) {
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), gone)) {
    std::ifstream status(task.path() / "status");
    for (std::string word; status >> word;) {
      if (word == "State:") {
        char state = 0;
        status >> state;
        if (state != wanted) {
          return false;
        }
        break;
      }
    }
  }
  return !gone;
}

}  // namespace

service_process::service_process() {
  if (world::embedded()) {
    name_ = world::fresh_group("service");
    start();
  } else {
    name_ = std::getenv("CPGRING_TEST_SERVICE");
  }
}

service_process::~service_process() {
  if (own_ == nullptr && !world::embedded()) {
    control("cont");
    start();
  }
}

pid_t service_process::pid() const {
  return own_ ? own_->pid() : static_cast<pid_t>(std::atol(control("pid").out.c_str()));
}

bool service_process::ended() const { return own_ ? !own_->running() : ::kill(pid(), 0) != 0; }

void service_process::stop() {
  const pid_t it = pid();
  ASSERT_EQ(::kill(it, SIGSTOP), 0);
  ASSERT_TRUE(eventually([it] { return every_thread_is(it, 'T'); }));
}

void service_process::resume() { ASSERT_EQ(::kill(pid(), SIGCONT), 0); }

void service_process::kill() {
  if (world::embedded()) {
    if (own_) {
      own_->signal(SIGKILL);
      static_cast<void>(own_->wait());
      own_.reset();
    }
    return;
  }
  ASSERT_EQ(control("kill").status, 0);
}

void service_process::start() {
  if (!world::embedded()) {
    constexpr int runs_already = 64;
    const int status = control("start").status;
    ASSERT_TRUE(status == 0 || status == runs_already) << status;
    return;
  }
  if (!own_) {
    own_ = std::make_unique<child>(cpgring_line({"serve", "--name", name_}));
    ASSERT_TRUE(own_->until_it_says("serving"));
  }
}

}  // namespace cpgring::test
