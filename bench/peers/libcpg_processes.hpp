// Members of one group, each of them a process with a handle of stock libcpg: with libcpg a process can be in
// a group only once.
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
  /// This process is one of the `members`; the others are forked. Each of them reports after each `batch`
  /// messages.
  libcpg_processes(const std::string& group, std::size_t members, std::uint64_t batch);

  /// Multicasts a batch from this process. Returns when all members have received all of it.
  void send_batch(std::string_view payload);
  /// CPU time that all members have used so far.
  [[nodiscard]] double cpu_seconds() const;

 private:
  std::uint64_t batch_;
  shared_semaphore joined_, done_;
  forked others_;
  std::optional<libcpg_member> mine_;
};

}  // namespace cpgring::bench
