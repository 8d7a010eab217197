// Standard input by lines: its end, its failure, and being told to stop are three different things.
#pragma once

#include <cstddef>
#include <string>

namespace cpgring::cli {

/// One thread reads; stop() may come from any.
class input {
 public:
  /// `fd` stays open as long as this lives. Throws std::system_error where no descriptor is left for stop().
  explicit input(int fd);
  ~input();
  input(const input&) = delete;
  input& operator=(const input&) = delete;

  /// The next line, without its newline; the last one may lack it. Waits, also where somebody made the descriptor non-blocking. False: the
  /// end, a failure (what came behind the last newline is not a line then), or stop(). A line above `most` bytes comes in pieces of `most`.
  bool line(std::string& into, std::size_t most);
  /// All that is left, or the first `most` bytes of it. False: a failure, or stop().
  bool all(std::string& into, std::size_t most);
  /// Ends a read that waits, and all later ones.
  void stop() noexcept;

  /// The errno of the read that failed, or 0. EBADF from the start: it is closed, or not open for reading.
  [[nodiscard]] int failure() const noexcept { return failure_; }

 private:
  /// Reads once more; false: there is nothing more.
  bool fill();

  const int fd_;
  int stop_ = -1;
  int failure_ = 0;
  bool at_end_ = false;
  bool stopped_ = false;
  std::string buffer_;
  std::size_t searched_ = 0;  // of buffer_: so far there is no newline
  std::size_t taken_ = 0;     // of buffer_: handed out
};

}  // namespace cpgring::cli
