#include "cli/output_queue.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <system_error>
#include <thread>
#include <utility>

#include "cli/output.hpp"

namespace cpgring::cli {
namespace {

// Messages are joined up to this size. A pipe takes so many bytes completely or not at all, so its content
// never ends within one of these messages.
constexpr std::size_t chunk_max = PIPE_BUF;
// A larger message is written in pieces of this size; each written piece counts as progress.
constexpr std::size_t piece_max = 65536;

int duplicate(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (copy < 0 && errno != EBADF) {  // a closed one fails when it is written to
    throw std::system_error(errno, std::generic_category(), "no second descriptor for standard output");
  }
  return copy;
}

}  // namespace

output_queue::state::~state() {
  if (out >= 0) {
    ::close(out);
  }
}

output_queue::output_queue(int out, int err, std::size_t most)
    : state_(std::make_shared<state>(duplicate(out), err, most)) {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([s = state_] { run(s); }).detach();
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

output_queue::~output_queue() {
  const std::lock_guard lock(state_->lock);
  state_->ending = true;
  state_->changed.notify_all();
}

bool output_queue::add(std::string_view message) { return add_to(state_->out, message); }

bool output_queue::add_error(std::string_view line) { return add_to(state_->err, line); }

bool output_queue::add_to(int fd, std::string_view bytes) {
  state& s = *state_;
  const std::lock_guard lock(s.lock);
  if (s.failure != 0 || (s.waiting != 0 && (bytes.size() > s.most || s.waiting > s.most - bytes.size()))) {
    return false;
  }
  if (s.chunks.empty() || s.chunks.back().fd != fd ||
      s.chunks.back().bytes.size() + bytes.size() > chunk_max) {
    s.chunks.push_back({fd, {}});
  }
  s.chunks.back().bytes += bytes;
  s.waiting += bytes.size();
  s.changed.notify_all();
  return true;
}

std::size_t output_queue::waiting() const {
  const std::lock_guard lock(state_->lock);
  return state_->waiting;
}

int output_queue::failure() const {
  const std::lock_guard lock(state_->lock);
  return state_->failure;
}

std::stop_token output_queue::broken() const { return state_->broken.get_token(); }

bool output_queue::finish(std::optional<std::chrono::milliseconds> patience) {
  state& s = *state_;
  std::unique_lock lock(s.lock);
  const auto over = [&s] { return s.waiting == 0 || s.failure != 0; };
  while (!over()) {
    const auto before = s.written;
    const auto moved = [&] { return over() || s.written != before; };
    if (!patience) {
      s.changed.wait(lock, moved);
    } else if (!s.changed.wait_for(lock, *patience, moved)) {
      return false;
    }
  }
  return s.failure == 0;
}

void output_queue::write_chunk(state& s, const chunk& one) {
  for (std::string_view left = one.bytes; !left.empty();) {
    const auto piece = left.substr(0, piece_max);
    left.remove_prefix(piece.size());
    const int failure = write_all(one.fd, piece);
    const std::lock_guard lock(s.lock);
    s.waiting -= piece.size();
    s.written += piece.size();
    s.changed.notify_all();
    if (failure != 0) {
      s.waiting -= left.size();
      s.failure = one.fd == s.out ? failure : s.failure;
      return;
    }
  }
}

void output_queue::run(const std::shared_ptr<state>& keep) {
  state& s = *keep;
  while (true) {
    chunk next;
    {
      std::unique_lock lock(s.lock);
      s.changed.wait(lock, [&s] { return s.ending || s.failure != 0 || !s.chunks.empty(); });
      if (s.ending || s.failure != 0) {
        break;
      }
      next = std::move(s.chunks.front());
      s.chunks.pop_front();
    }
    write_chunk(s, next);
  }
  if (keep->failure != 0) {
    s.broken.request_stop();
  }
}

}  // namespace cpgring::cli
