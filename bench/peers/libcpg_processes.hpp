// Members of one group, each a process with a handle of stock libcpg's: the way to be in a group several times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "peers/libcpg_member.hpp"
#include "support/forked.hpp"

namespace cpgring::bench {

class libcpg_processes {
 public:
  /// This process is the first of `members`; the others are forked. They tell after each `batch` messages.
  libcpg_processes(const std::string& group, std::size_t members, std::uint64_t batch);

  /// Multicasts a batch from this process; returns when all members have had all of it.
  void send_batch(std::string_view payload);
  /// Used by all of them so far.
  [[nodiscard]] double cpu_seconds() const;

 private:
  std::uint64_t batch_;
  shared_semaphore joined_, done_;
  forked others_;
  std::optional<libcpg_member> mine_;
};

}  // namespace cpgring::bench
