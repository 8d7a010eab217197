#include "cli/log_writer.hpp"

#include <signal.h>

#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "cli/output.hpp"

namespace cpgring::cli {
namespace {

constexpr auto last_wait = std::chrono::milliseconds(300);

}  // namespace

log_writer::log_writer(int fd) : state_(std::make_shared<state>(fd)) {
  sigset_t all, before;
  ::sigfillset(&all);  // SIGPIPE too: a missing reader is an error of write()
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([s = state_] { run(s); }).detach();
  } catch (const std::system_error&) {
    state_->ended = true;  // all lines are dropped
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

log_writer::~log_writer() {
  std::unique_lock lock(state_->lock);
  state_->ending = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, last_wait, [this] { return state_->ended; });
}

void log_writer::write(std::string line) noexcept {
  state& s = *state_;
  try {
    const std::lock_guard lock(s.lock);
    if (s.ended || s.bytes + line.size() > room) {
      ++s.dropped;
      return;
    }
    s.bytes += line.size();
    s.lines.push_back(std::move(line));
    s.changed.notify_all();
  } catch (...) {  // out of memory: the line is dropped
  }
}

std::uint64_t log_writer::dropped() const noexcept {
  const std::lock_guard lock(state_->lock);
  return state_->dropped;
}

void log_writer::run(const std::shared_ptr<state>& keep) {
  state& s = *keep;
  std::unique_lock lock(s.lock);
  for (;;) {
    s.changed.wait(lock, [&s] { return s.ending || !s.lines.empty(); });
    if (s.lines.empty()) {
      break;
    }
    std::string line = std::move(s.lines.front());
    s.lines.pop_front();
    const std::size_t queued = line.size();
    const std::uint64_t missing = s.dropped - s.reported;
    lock.unlock();
    if (missing != 0) {
      line = fmt::format("cpgring: warning: {} log lines were not written\n", missing) + line;
    }
    const bool written = write_all(s.fd, line) == 0;
    lock.lock();
    s.bytes -= queued;
    if (written) {
      s.reported += missing;
    } else {
      ++s.dropped;
    }
  }
  s.ended = true;
  s.changed.notify_all();
}

}  // namespace cpgring::cli
