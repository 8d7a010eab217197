// The peer: stock libcpg in its usual form, one epoll set over all handles, and cpg_dispatch on each readable
// one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "peers/libcpg_member.hpp"

namespace cpgring {
class histogram;
}

namespace cpgring::bench {

class libcpg_peer {
 public:
  /// Opens `handles` handles, each in a group of its own, and takes their first views. Throws
  /// std::runtime_error.
  libcpg_peer(std::string_view stem, std::size_t handles);
  ~libcpg_peer();
  libcpg_peer(const libcpg_peer&) = delete;
  libcpg_peer& operator=(const libcpg_peer&) = delete;

  /// Multicasts from handle `index` to its own group. False: try again later.
  bool multicast(std::size_t index, std::string_view payload) { return handles_[index].multicast(payload); }
  /// Runs `what`. libcpg has no batches.
  template <class What>
  void together(const What& what) {
    what();
  }
  /// epoll, then cpg_dispatch(CS_DISPATCH_ALL) on each readable handle, until `events` more messages have
  /// arrived.
  void take(std::uint64_t events);
  /// cpg_dispatch(how) on the only handle, until `events` more messages have arrived.
  void take_as(cs_dispatch_flags_t how, std::uint64_t events);
  /// Takes what waits now: with one handle by cpg_dispatch(CS_DISPATCH_ALL), else by one call of epoll.
  void take_pending();
  /// Takes messages until now_ns() reaches `deadline`.
  void take_until(std::uint64_t deadline);
  void wait_until_idle(std::uint64_t) {}  ///< nothing to do for libcpg
  [[nodiscard]] std::uint64_t received() const noexcept { return received_; }
  /// Records latencies. The first eight bytes of each message must be the now_ns() of its intended send time.
  void measure_latency(histogram* into) noexcept { latency_ = into; }
  [[nodiscard]] std::size_t handles() const noexcept { return handles_.size(); }

 private:
  static void deliver(cpg_handle_t handle, const cpg_name* group, std::uint32_t node, std::uint32_t pid,
                      void* message, std::size_t size);
  static void changed(cpg_handle_t handle, const cpg_name* group, const cpg_address* members,
                      std::size_t member_count, const cpg_address* left, std::size_t left_count,
                      const cpg_address* joined, std::size_t joined_count);
  /// -1: without a time limit.
  void wait_and_dispatch(std::int64_t timeout_ns);
  void dispatch(cpg_handle_t handle, cs_dispatch_flags_t how);

  std::vector<libcpg_member> handles_;
  int epoll_ = -1;
  std::uint64_t received_ = 0, views_ = 0, sum_ = 0;
  histogram* latency_ = nullptr;
};

}  // namespace cpgring::bench
