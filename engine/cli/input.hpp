// Reads standard input by lines, and distinguishes its end, its failure, and a request to stop.
#pragma once

#include <cstddef>
#include <string>

namespace cpgring::cli {

/// One thread reads. stop(): any thread.
class input {
 public:
  /// `fd` must stay open while this object lives. Throws std::system_error if no descriptor is left for
  /// stop().
  explicit input(int fd);
  ~input();
  input(const input&) = delete;
  input& operator=(const input&) = delete;

  /// Reads the next line, without its newline, which the last line may lack. Blocks, even if the descriptor
  /// is non-blocking. False: the end, a failure (then the bytes after the last newline are not a line), or
  /// stop(). A line above `most` bytes is returned in pieces of `most` bytes.
  bool line(std::string& into, std::size_t most);
  /// Reads the rest of the input, or its first `most` bytes. False: a failure, or stop().
  bool all(std::string& into, std::size_t most);
  /// Ends the current read and all later ones.
  void stop() noexcept;

  /// The errno of the failed read, or 0. EBADF from the start: the descriptor is closed, or not open for
  /// reading.
  [[nodiscard]] int failure() const noexcept { return failure_; }

 private:
  /// Reads once more. False: there is no more input.
  bool fill();

  const int fd_;
  int stop_ = -1;
  int failure_ = 0;
  bool at_end_ = false;
  bool stopped_ = false;
  std::string buffer_;
  std::size_t searched_ = 0;  // offset in buffer_: there is no newline before it
  std::size_t taken_ = 0;     // offset in buffer_: all before it has been returned
};

}  // namespace cpgring::cli
