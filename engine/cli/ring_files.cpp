#include "cli/ring_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "cli/text.hpp"
#include "inspect/ring.hpp"

namespace cpgring::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view header_end = "-header", data_end = "-data";
constexpr int copies_max = 10;

/// Paths are arbitrary bytes.
std::string quoted(const std::string& path) { return fmt::format("'{}'", printable_text(path)); }

class open_file {
 public:
  explicit open_file(int fd) noexcept : fd_(fd) {}
  open_file(open_file&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  open_file& operator=(open_file&&) = delete;
  ~open_file() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }

  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

result<open_file> open_for_reading(const std::string& path) {
  // O_NONBLOCK: opening a pipe must not wait for its writer.
  open_file file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.fd() < 0) {
    return fail_errno(errno, fmt::format("can't open {}", quoted(path)));
  }
  struct stat about {};
  if (::fstat(file.fd(), &about) != 0) {
    return fail_errno(errno, fmt::format("can't examine {}", quoted(path)));
  }
  if (!S_ISREG(about.st_mode)) {
    return fail(errc::invalid_param,
                fmt::format("{} is no regular file; the files of a ring are", quoted(path)));
  }
  return file;
}

/// Reads up to `most` bytes; the file may end before.
result<std::vector<std::byte>> read_up_to(const open_file& file, std::size_t most, const std::string& path) {
  constexpr std::size_t step = std::size_t{1} << 20;
  std::vector<std::byte> bytes;
  while (bytes.size() < most) {
    const std::size_t before = bytes.size(), wanted = std::min(step, most - before);
    bytes.resize(before + wanted);
    const ssize_t got = ::pread(file.fd(), bytes.data() + before, wanted, static_cast<off_t>(before));
    if (got < 0 && errno == EINTR) {
      bytes.resize(before);
      continue;
    }
    if (got < 0) {
      return fail_errno(errno, fmt::format("can't read {}", quoted(path)));
    }
    bytes.resize(before + static_cast<std::size_t>(got));
    if (got == 0) {
      break;
    }
  }
  return bytes;
}

/// The path without `end`; empty: the path does not end so.
std::string without(const std::string& path, std::string_view end) {
  return path.ends_with(end) ? path.substr(0, path.size() - end.size()) : std::string();
}

/// The beginning of a header, which holds both positions and the size.
bool same_positions(const std::vector<std::byte>& a, const std::vector<std::byte>& b) {
  constexpr std::size_t positions = 12;
  return a.size() == b.size() && std::equal(a.data(), a.data() + std::min(a.size(), positions), b.data());
}

}  // namespace

result<std::vector<std::string>> rings_at(const std::string& path) {
  std::error_code code;
  if (!fs::is_directory(path, code)) {
    for (const auto end : {header_end, data_end}) {
      if (auto base = without(path, end); !base.empty()) {
        return std::vector{base};
      }
    }
    if (!fs::exists(path, code)) {
      if (std::error_code ignored; fs::exists(path + std::string(header_end), ignored)) {
        return std::vector{path};
      }
      return fail_errno(code ? code.value() : ENOENT, fmt::format("can't open {}", quoted(path)));
    }
    return fail(
        errc::invalid_param,
        fmt::format("{} is no ring; name a file that ends in '-header' or '-data', or a folder of them, "
                    "such as /dev/shm/qb-*",
                    quoted(path)));
  }
  std::vector<std::string> bases;
  fs::directory_iterator entries(path, code);
  for (; !code && entries != fs::directory_iterator(); entries.increment(code)) {
    if (auto base = without(entries->path().string(), header_end); !base.empty()) {
      bases.push_back(std::move(base));
    }
  }
  if (code) {
    return fail(error(code, fmt::format("can't list {}: {}", quoted(path), code.message())));
  }
  if (bases.empty()) {
    return fail(
        errc::invalid_param,
        fmt::format("{} has no file that ends in '-header'; the rings of each connection are in a folder "
                    "of their own, /dev/shm/qb-*",
                    quoted(path)));
  }
  std::sort(bases.begin(), bases.end());
  return bases;
}

result<ring_copy> copy_ring(const std::string& base, const std::function<void()>& meanwhile) {
  const std::string header_path = base + std::string(header_end), data_path = base + std::string(data_end);
  auto header = open_for_reading(header_path);
  if (!header) {
    return fail(header.error());
  }
  auto data = open_for_reading(data_path);
  if (!data) {
    return fail(data.error());
  }
  ring_copy copy;
  copy.moved = true;
  for (int i = 0; i < copies_max && copy.moved; ++i) {
    auto before = read_up_to(*header, inspect::header_bytes, header_path);
    auto all = read_up_to(*data, inspect::data_bytes_max + 1, data_path);
    if (meanwhile) {
      meanwhile();
    }
    auto after = read_up_to(*header, inspect::header_bytes, header_path);
    if (!before || !all || !after) {
      return fail(!before ? before.error() : !all ? all.error() : after.error());
    }
    if (all->size() > inspect::data_bytes_max) {
      return fail(errc::invalid_param, fmt::format("{} has more than {} bytes, which no ring of CPG has",
                                                   quoted(data_path), inspect::data_bytes_max));
    }
    copy.moved = !same_positions(*before, *after);
    copy.header = std::move(*before);
    copy.data = std::move(*all);
  }
  return copy;
}

}  // namespace cpgring::cli
