// Standard output: written whole, or its first failure is remembered until main() tells of it.
#pragma once

#include <atomic>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace cpgring::cli {

/// Writes all of `bytes`; waits for room where somebody made the descriptor non-blocking. Returns 0, or the errno that ended it.
int write_all(int fd, std::string_view bytes) noexcept;

/// What went wrong with a standard stream, in words: of EBADF, that it is closed.
std::string stream_failure_text(int number);

/// Any thread; what several threads write comes in no particular order.
class output {
 public:
  explicit constexpr output(int fd) noexcept : fd_(fd) {}
  output(const output&) = delete;
  output& operator=(const output&) = delete;

  /// False: it failed, now or before. Behind a failure nothing is written, so that what arrived has no gap.
  bool write(std::string_view bytes) noexcept;
  template <class... Values>
  bool print(fmt::format_string<Values...> format, Values&&... values) {
    return write(fmt::format(format, std::forward<Values>(values)...));
  }
  /// Notes a failure that somebody else met; the first one counts.
  void fail(int number) noexcept;
  /// The errno of the first failure, or 0.
  [[nodiscard]] int failure() const noexcept { return failure_.load(std::memory_order_relaxed); }
  /// Whether it can be written to at all.
  [[nodiscard]] bool open_for_writing() const noexcept;
  /// Closes the descriptor: some file systems report only there that they have lost what was written.
  void close() noexcept;

 private:
  const int fd_;
  std::atomic<int> failure_{0};
};

/// All that the command prints for its user goes through this.
output& standard_output() noexcept;

}  // namespace cpgring::cli
