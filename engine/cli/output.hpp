// Standard output. Its first failure ends all output and is kept until main() reports it.
#pragma once

#include <atomic>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace cpgring::cli {

/// Writes all of `bytes`; waits for room if the descriptor is non-blocking. Returns 0, or the errno of the
/// failure.
int write_all(int fd, std::string_view bytes) noexcept;

/// Describes the failure of a standard stream. EBADF: "it is closed".
std::string stream_failure_text(int number);

/// Any thread. What several threads write is in no defined order.
class output {
 public:
  explicit constexpr output(int fd) noexcept : fd_(fd) {}
  output(const output&) = delete;
  output& operator=(const output&) = delete;

  /// False: this or an earlier write failed. After a failure nothing is written, so the output has no gap.
  bool write(std::string_view bytes) noexcept;
  template <class... Values>
  bool print(fmt::format_string<Values...> format, Values&&... values) {
    return write(fmt::format(format, std::forward<Values>(values)...));
  }
  /// Records a failure that was detected elsewhere. Only the first one is kept.
  void fail(int number) noexcept;
  /// The errno of the first failure, or 0.
  [[nodiscard]] int failure() const noexcept { return failure_.load(std::memory_order_relaxed); }
  /// True: the descriptor is open for writing.
  [[nodiscard]] bool open_for_writing() const noexcept;
  /// Closes the descriptor. Some file systems report only then that they lost written data.
  void close() noexcept;

 private:
  const int fd_;
  std::atomic<int> failure_{0};
};

/// All that the command prints for its user goes through this object.
output& standard_output() noexcept;

}  // namespace cpgring::cli
