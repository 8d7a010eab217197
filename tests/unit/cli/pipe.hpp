// A pipe that stands in for a standard stream in tests.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

namespace cpgring::cli::test {

/// Both ends of a pipe. Ignores SIGPIPE during its lifetime: a write without a reader fails with EPIPE.
class test_pipe {
 public:
  test_pipe() : before_(::signal(SIGPIPE, SIG_IGN)) { EXPECT_EQ(::pipe2(ends_.data(), O_CLOEXEC), 0); }
  ~test_pipe() {
    close_reader();
    close_writer();
    ::signal(SIGPIPE, before_);
  }
  test_pipe(const test_pipe&) = delete;
  test_pipe& operator=(const test_pipe&) = delete;

  [[nodiscard]] int reader() const { return ends_[0]; }
  [[nodiscard]] int writer() const { return ends_[1]; }
  void close_reader() { close(ends_[0]); }
  void close_writer() { close(ends_[1]); }
  void make_non_blocking(int end) const {
    EXPECT_EQ(::fcntl(end, F_SETFL, ::fcntl(end, F_GETFL) | O_NONBLOCK), 0);
  }
  void put(std::string_view bytes) const {
    EXPECT_EQ(::write(writer(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  /// Waits for `size` bytes or the end of the stream.
  [[nodiscard]] std::string take(std::size_t size) const {
    std::string all;
    std::array<char, 65536> some{};
    while (all.size() < size) {
      const auto got = ::read(reader(), some.data(), std::min(some.size(), size - all.size()));
      if (got <= 0) {
        break;
      }
      all.append(some.data(), static_cast<std::size_t>(got));
    }
    return all;
  }
  /// Reads until all writers have closed.
  [[nodiscard]] std::string take_all() const { return take(std::string::npos); }

 private:
  static void close(int& fd) {
    if (fd >= 0) {
      ::close(std::exchange(fd, -1));
    }
  }
  std::array<int, 2> ends_{-1, -1};
  sighandler_t before_;
};

}  // namespace cpgring::cli::test
