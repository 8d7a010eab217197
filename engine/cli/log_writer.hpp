// Standard error for lines that come from inside the library: whoever logs never waits and never fails.
//
// A thread of its own writes. Lines that it has no room for are counted and reported with the next line that gets through, so a reader that
// is slow, gone, or a full disk costs lines and nothing else.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

namespace cpgring::cli {

class log_writer {
 public:
  /// Bytes that wait at most.
  static constexpr std::size_t room = std::size_t{256} << 10;

  /// `fd` stays open as long as this lives.
  explicit log_writer(int fd);
  /// Waits a moment for what has not been written yet, then gives it up.
  ~log_writer();
  log_writer(const log_writer&) = delete;
  log_writer& operator=(const log_writer&) = delete;

  /// Any thread. `line` with its newline.
  void write(std::string line) noexcept;
  /// Lines that were not written, or only in part.
  [[nodiscard]] std::uint64_t dropped() const noexcept;

 private:
  struct state {  // outlives the writer where its thread can't be ended
    explicit state(int descriptor) : fd(descriptor) {}
    const int fd;
    mutable std::mutex lock;
    std::condition_variable changed;
    std::deque<std::string> lines;
    std::size_t bytes = 0;
    std::uint64_t dropped = 0, reported = 0;
    bool ending = false, ended = false;
  };
  static void run(const std::shared_ptr<state>& s);

  const std::shared_ptr<state> state_;
};

}  // namespace cpgring::cli
