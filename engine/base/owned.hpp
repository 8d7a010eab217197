// Owners of descriptors and mappings: each is closed or unmapped exactly once.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <utility>

namespace cpgring::base {

class unique_fd {
 public:
  unique_fd() = default;
  explicit unique_fd(int fd) noexcept : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    if (this != &other) {
      reset(std::exchange(other.fd_, -1));
    }
    return *this;
  }
  ~unique_fd() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept {
    if (fd_ >= 0) {
      ::close(fd_);
    }
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

class unique_mapping {
 public:
  unique_mapping() = default;
  unique_mapping(void* at, std::size_t size) noexcept : at_(at), size_(size) {}
  unique_mapping(unique_mapping&& other) noexcept
      : at_(std::exchange(other.at_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  unique_mapping& operator=(unique_mapping&& other) noexcept {
    if (this != &other) {
      reset();
      at_ = std::exchange(other.at_, nullptr);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  ~unique_mapping() { reset(); }

  [[nodiscard]] std::byte* data() const noexcept { return static_cast<std::byte*>(at_); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  explicit operator bool() const noexcept { return at_ != nullptr; }
  void reset() noexcept {
    if (at_ != nullptr) {
      ::munmap(at_, size_);
      at_ = nullptr;
      size_ = 0;
    }
  }

 private:
  void* at_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace cpgring::base
