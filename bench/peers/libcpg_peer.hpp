// The rival: stock libcpg as its users use it, one epoll set over all handles and cpg_dispatch on each that is readable.
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
  /// Opens `handles` handles, each in a group of its own, and takes their first views. Throws std::runtime_error.
  libcpg_peer(std::string_view stem, std::size_t handles);
  ~libcpg_peer();
  libcpg_peer(const libcpg_peer&) = delete;
  libcpg_peer& operator=(const libcpg_peer&) = delete;

  /// Multicasts from handle `index` to its own group; false: try again.
  bool multicast(std::size_t index, std::string_view payload) { return handles_[index].multicast(payload); }
  /// libcpg has nothing of the kind.
  template <class What>
  void together(const What& what) {
    what();
  }
  /// epoll, then cpg_dispatch(CS_DISPATCH_ALL) on each readable handle, until `events` messages have come since the last call.
  void take(std::uint64_t events);
  /// cpg_dispatch(how) on handle 0, which is the only one, until `events` messages have come since the last call.
  void take_as(cs_dispatch_flags_t how, std::uint64_t events);
  /// What waits now: with one handle cpg_dispatch(CS_DISPATCH_ALL), else one look at epoll.
  void take_what_waits();
  /// What comes until now_ns() says `deadline`.
  void take_until(std::uint64_t deadline);
  void settle(std::uint64_t) {}  ///< nothing to do for libcpg
  [[nodiscard]] std::uint64_t received() const noexcept { return received_; }
  /// The first eight bytes of each message are now_ns() of when it was to be sent.
  void measure_latency(histogram* into) noexcept { latency_ = into; }
  [[nodiscard]] std::size_t handles() const noexcept { return handles_.size(); }

 private:
  static void deliver(cpg_handle_t handle, const cpg_name* group, std::uint32_t node, std::uint32_t pid, void* message, std::size_t size);
  static void changed(cpg_handle_t handle, const cpg_name* group, const cpg_address* members, std::size_t member_count,
                      const cpg_address* left, std::size_t left_count, const cpg_address* joined, std::size_t joined_count);
  /// -1: for ever.
  void look(std::int64_t timeout_ns);
  void dispatch(cpg_handle_t handle, cs_dispatch_flags_t how);

  std::vector<libcpg_member> handles_;
  int epoll_ = -1;
  std::uint64_t received_ = 0, views_ = 0, sum_ = 0;
  histogram* latency_ = nullptr;
};

}  // namespace cpgring::bench
