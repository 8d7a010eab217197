#include "cli/input.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>

namespace cpgring::cli {
namespace {

constexpr std::size_t read_at_once = 65536;

}  // namespace

input::input(int fd) : fd_(fd), stop_(::eventfd(0, EFD_CLOEXEC)) {
  if (stop_ < 0) {
    throw std::system_error(errno, std::generic_category(), "no descriptor for standard input");
  }
  // Checked here, because poll() would wait forever for input on the write end of a pipe.
  const int flags = ::fcntl(fd_, F_GETFL);
  failure_ = flags < 0 || (flags & O_ACCMODE) == O_WRONLY ? EBADF : 0;
}

input::~input() { ::close(stop_); }

void input::stop() noexcept {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(stop_, &one, sizeof one));
}

bool input::fill() {
  while (!at_end_ && !stopped_ && failure_ == 0) {
    std::array<pollfd, 2> fds{{{fd_, POLLIN, 0}, {stop_, POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), -1) < 0) {
      continue;
    }
    if (fds[1].revents != 0) {
      stopped_ = true;
      break;
    }
    const std::size_t before = buffer_.size();
    buffer_.resize(before + read_at_once);
    const auto got = ::read(fd_, buffer_.data() + before, read_at_once);
    const int why = errno;
    buffer_.resize(before + static_cast<std::size_t>(std::max<decltype(got)>(got, 0)));
    if (got > 0) {
      return true;
    }
    if (got == 0) {
      at_end_ = true;
    } else if (why != EAGAIN && why != EINTR) {
      failure_ = why;
    }
  }
  return false;
}

bool input::line(std::string& into, std::size_t most) {
  if (taken_ > read_at_once) {
    buffer_.erase(0, taken_);
    searched_ -= taken_;
    taken_ = 0;
  }
  while (true) {
    const auto newline = buffer_.find('\n', searched_);
    const std::size_t end = std::min(newline, buffer_.size());
    if (end - taken_ > most) {
      into.assign(buffer_, taken_, most);
      taken_ += most;
      searched_ = taken_;
      return true;
    }
    if (newline != std::string::npos) {
      into.assign(buffer_, taken_, newline - taken_);
      taken_ = searched_ = newline + 1;
      return true;
    }
    searched_ = buffer_.size();
    if (!fill()) {
      break;
    }
  }
  if (!at_end_ || taken_ == buffer_.size()) {
    return false;
  }
  into.assign(buffer_, taken_, std::string::npos);
  taken_ = buffer_.size();
  return true;
}

bool input::all(std::string& into, std::size_t most) {
  while (buffer_.size() - taken_ < most && fill()) {
  }
  if (stopped_ || failure_ != 0) {
    return false;
  }
  into.assign(buffer_, taken_, most);
  taken_ = std::min(buffer_.size(), taken_ + most);
  searched_ = taken_;
  return true;
}

}  // namespace cpgring::cli
