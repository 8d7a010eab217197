#include "support/command.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "support/world.hpp"

extern char** environ;

namespace cpgring::test {
namespace {

std::string temporary_file(std::string_view content = {}) {
  std::string name = ::testing::TempDir() + "cpgring-child-XXXXXX";
  const int fd = ::mkstemp(name.data());
  if (fd < 0 || ::write(fd, content.data(), content.size()) != static_cast<ssize_t>(content.size())) {
    throw std::runtime_error("no temporary file " + name);
  }
  ::close(fd);
  return name;
}

std::string content_of(const std::string& name) {
  std::stringstream all;
  all << std::ifstream(name).rdbuf();
  return all.str();
}

}  // namespace

void remove_rings_of(pid_t service) {
  const std::string start = "qb-" + std::to_string(service) + "-";
  std::error_code gone, unremoved;
  for (std::filesystem::directory_iterator one("/dev/shm", gone), end; !gone && one != end;
       one.increment(gone)) {
    if (one->path().filename().string().starts_with(start)) {
      std::filesystem::remove_all(one->path(), unremoved);
    }
  }
}

child::child(const std::vector<std::string>& arguments, std::string_view input, streams instead)
    : out_(temporary_file()), err_(temporary_file()) {
  const auto in = temporary_file(input);
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  const auto give = [&files](int fd, int wanted, const std::string& file, int flags) {
    if (wanted == streams::usual) {
      ::posix_spawn_file_actions_addopen(&files, fd, file.c_str(), flags, 0);
    } else if (wanted == streams::closed) {
      ::posix_spawn_file_actions_addclose(&files, fd);
    } else {
      ::posix_spawn_file_actions_adddup2(&files, wanted, fd);
    }
  };
  give(0, instead.in, in, O_RDONLY);
  give(1, instead.out, out_, O_WRONLY);
  give(2, instead.err, err_, O_WRONLY);
  std::vector<std::string> copies(arguments);
  std::vector<char*> argv;
  for (auto& one : copies) {
    argv.push_back(one.data());
  }
  argv.push_back(nullptr);
  const int failed = ::posix_spawnp(&pid_, argv[0], &files, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  ::unlink(in.c_str());
  if (failed != 0) {
    throw std::runtime_error("can't start " + arguments[0]);
  }
}

child::~child() {
  if (running()) {
    signal(SIGKILL);
    ::waitpid(pid_, &status_, 0);
  }
  if (WIFSIGNALED(status_)) {
    remove_rings_of(pid_);
  }
  ::unlink(out_.c_str());
  ::unlink(err_.c_str());
}

bool child::running() {
  if (status_ == -1) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      status_ = status;
    }
  }
  return status_ == -1;
}

bool child::until_it_says(std::string_view text) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    const bool was_running = running();
    if (content_of(out_).find(text) != std::string::npos ||
        content_of(err_).find(text) != std::string::npos) {
      return true;
    }
    if (!was_running || std::chrono::steady_clock::now() > deadline) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void child::signal(int number) const { ::kill(pid_, number); }

ended child::wait() {
  const auto deadline = std::chrono::steady_clock::now() + 2 * patience;
  while (running()) {
    if (std::chrono::steady_clock::now() > deadline) {
      signal(SIGKILL);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return {WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_), content_of(out_),
          content_of(err_)};
}

std::vector<std::string> cpgring_line(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), CPGRING_COMMAND);
  return arguments;
}

ended cpgring_command(std::vector<std::string> arguments, std::string_view input, streams instead) {
  return child(cpgring_line(std::move(arguments)), input, instead).wait();
}

}  // namespace cpgring::test
