// The cpgring command (or another program) as a child process of a test.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace cpgring::test {

/// How a program ended, and what it wrote.
struct ended {
  int status = -1;  ///< exit code; 128 + N when signal N ended it
  std::string out, err;
};

/// What a child gets in place of the usual standard streams: a descriptor of this process, or none at all.
struct streams {
  static constexpr int usual = -1, closed = -2;
  int in = usual, out = usual, err = usual;
};

/// A child process; its output is collected. Killed when this goes while it still runs.
class child {
 public:
  /// Starts `arguments[0]` (a path, or found in PATH) with `input` as its standard input.
  explicit child(const std::vector<std::string>& arguments, std::string_view input = {}, streams instead = {});
  ~child();
  child(const child&) = delete;
  child& operator=(const child&) = delete;

  /// Waits until `text` stands in what it has written (both streams); false when it ended, or patience did, without that.
  bool until_it_says(std::string_view text);
  void signal(int number) const;
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] bool running();
  /// Waits for its end; kills it when patience ends.
  ended wait();

 private:
  pid_t pid_ = -1;
  int status_ = -1;
  std::string out_, err_;  // files
};

/// Runs `cpgring ARGUMENTS...` to its end.
ended cpgring_command(std::vector<std::string> arguments, std::string_view input = {}, streams instead = {});
/// The same, going on beside the test.
std::vector<std::string> cpgring_line(std::vector<std::string> arguments);

}  // namespace cpgring::test
