// Writes lines from inside the library to standard error. The thread that logs never waits and never fails.
//
// A separate thread writes. Lines that do not fit into the buffer are counted, and reported with the next
// line that is written. So a slow or missing reader, or a full disk, costs only lines.
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
  /// Maximum number of waiting bytes.
  static constexpr std::size_t room = std::size_t{256} << 10;

  /// `fd` must stay open while this object lives.
  explicit log_writer(int fd);
  /// Waits up to 300 ms for lines that are not yet written, then drops them.
  ~log_writer();
  log_writer(const log_writer&) = delete;
  log_writer& operator=(const log_writer&) = delete;

  /// Any thread. `line` includes its newline.
  void write(std::string line) noexcept;
  /// Number of lines that were not written, or only in part.
  [[nodiscard]] std::uint64_t dropped() const noexcept;

 private:
  struct state {  // outlives the writer if its thread is stuck in a write
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
