// The cpgring command (or another program) as a child process of a test.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace cpgring::test {

/// The exit status and output of a program.
struct ended {
  int status = -1;  ///< exit code; 128 + N when signal N ended it
  std::string out, err;
};

/// The standard streams of a child: the usual ones, a descriptor of this process, or closed.
struct streams {
  static constexpr int usual = -1, closed = -2;
  int in = usual, out = usual, err = usual;
};

/// A child process whose output is collected. The destructor kills it if it still runs.
class child {
 public:
  /// Starts `arguments[0]` (a path, or found in PATH) with `input` as its standard input.
  explicit child(const std::vector<std::string>& arguments, std::string_view input = {},
                 streams instead = {});
  ~child();
  child(const child&) = delete;
  child& operator=(const child&) = delete;

  /// Waits until the child has written `text` to one of its output streams; false if it ended or patience is
  /// over before.
  bool until_it_says(std::string_view text);
  void signal(int number) const;
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] bool running();
  /// Waits for its end; kills it when patience is over.
  ended wait();

 private:
  pid_t pid_ = -1;
  int status_ = -1;
  std::string out_, err_;  // files
};

/// Removes what a killed service left in /dev/shm: libqb's connection directories, named
/// qb-SERVICE-CLIENT-... with process ids.
void remove_rings_of(pid_t service);

/// Runs `cpgring ARGUMENTS...` to its end.
ended cpgring_command(std::vector<std::string> arguments, std::string_view input = {}, streams instead = {});
/// The command line of `cpgring ARGUMENTS...`, for a child that runs beside the test.
std::vector<std::string> cpgring_line(std::vector<std::string> arguments);

}  // namespace cpgring::test
