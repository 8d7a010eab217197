// A ring whose files the test writes field by field, to make states that no valid service makes.
#pragma once

#include <fcntl.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "ipc/chunk_format.hpp"
#include "ipc/shared_ring.hpp"

namespace cpgring::ipc::test {

namespace cf = chunk_format;

/// A name that is unique in this process and, through the pid, on this machine.
inline std::string fresh_name(const char* stem) {
  static std::atomic<unsigned> count{0};
  return std::string("cpgring-test-") + stem + "-" + std::to_string(::getpid()) + "-" +
         std::to_string(count.fetch_add(1));
}

/// Opens a ring whose directory and files belong to this user.
inline result<shared_ring> open_ring(const std::string& base, std::uint32_t max_message_size, bool prefault) {
  const auto slash = base.rfind('/');
  auto directory = ring_directory::open(base.substr(0, slash), {::geteuid(), ::geteuid()});
  if (!directory) {
    return fail(directory.error());
  }
  return shared_ring::open(*directory, base.substr(slash + 1), max_message_size, prefault);
}

class raw_ring {
 public:
  explicit raw_ring(std::size_t data_bytes = 4096, std::size_t header_bytes = 8252,
                    const std::string& base = "/dev/shm/" + fresh_name("raw"))
      : base_(base), words_(static_cast<std::uint32_t>(data_bytes / 4)) {
    make(header_path(), header_bytes);
    make(data_path(), data_bytes);
    set(cf::data_words, words_);
    set(cf::reference_count, 1);
    write(cf::semaphore + 8, 128);  // process-shared
  }
  raw_ring(const raw_ring&) = delete;
  raw_ring& operator=(const raw_ring&) = delete;
  ~raw_ring() {
    ::unlink(header_path().c_str());
    ::unlink(data_path().c_str());
  }

  [[nodiscard]] const std::string& base() const { return base_; }
  [[nodiscard]] std::string header_path() const { return base_ + "-header"; }
  [[nodiscard]] std::string data_path() const { return base_ + "-data"; }
  [[nodiscard]] std::uint32_t words() const { return words_; }
  /// The largest message size that a valid service with this ring agrees to.
  [[nodiscard]] std::uint32_t max_message_size() const { return words_ * 4 - cf::data_slack; }

  void set(std::size_t field, std::uint32_t value) { write(field, value); }
  [[nodiscard]] std::uint32_t get(std::size_t field) const {
    std::uint32_t value = 0;
    access(
        header_path(), [&](int fd) { return ::pread(fd, &value, sizeof value, static_cast<off_t>(field)); },
        sizeof value);
    return value;
  }
  void set_word(std::uint32_t position, std::uint32_t value) {
    const auto at = static_cast<off_t>(position % words_) * 4;
    access(
        data_path(), [&](int fd) { return ::pwrite(fd, &value, sizeof value, at); }, sizeof value);
  }
  void fill(unsigned char byte) {
    const std::string bytes(std::size_t{words_} * 4, static_cast<char>(byte));
    access(
        data_path(), [&](int fd) { return ::pwrite(fd, bytes.data(), bytes.size(), 0); }, bytes.size());
  }
  [[nodiscard]] std::uint32_t word(std::uint32_t position) const {
    std::uint32_t value = 0;
    const auto at = static_cast<off_t>(position % words_) * 4;
    access(
        data_path(), [&](int fd) { return ::pread(fd, &value, sizeof value, at); }, sizeof value);
    return value;
  }
  /// Adds `count` to the semaphore's value.
  void post(std::uint32_t count) { set(cf::semaphore, get(cf::semaphore) + count); }
  /// Writes length and magic of a chunk but neither write position nor semaphore; returns the next position.
  std::uint32_t put_chunk(std::uint32_t position, std::uint32_t length,
                          std::uint32_t magic = cf::magic_ready) {
    set_word(position, length);
    set_word(position + 1, magic);
    return (position + cf::words_of(length)) % words_;
  }

 private:
  template <class Call>
  static void access(const std::string& path, Call&& call, std::size_t expected) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0 || call(fd) != static_cast<ssize_t>(expected)) {
      std::perror(path.c_str());
      std::abort();
    }
    ::close(fd);
  }
  static void make(const std::string& path, std::size_t size) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(size)) != 0) {
      std::perror(path.c_str());
      std::abort();
    }
    ::close(fd);
  }
  void write(std::size_t field, std::uint32_t value) {
    access(
        header_path(), [&](int fd) { return ::pwrite(fd, &value, sizeof value, static_cast<off_t>(field)); },
        sizeof value);
  }

  std::string base_;
  std::uint32_t words_;
};

}  // namespace cpgring::ipc::test
