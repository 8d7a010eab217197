// The rival: stock libcpg as its users use it, one epoll set over all handles and cpg_dispatch on each that is readable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <corosync/cpg.h>

namespace cpgring::bench {

class libcpg_peer {
 public:
  /// Opens `handles` handles, each in a group of its own, and takes their first views. Throws std::runtime_error.
  libcpg_peer(std::string_view stem, std::size_t handles);
  ~libcpg_peer();
  libcpg_peer(const libcpg_peer&) = delete;
  libcpg_peer& operator=(const libcpg_peer&) = delete;

  /// Multicasts from handle `index` to its own group; false: try again.
  bool multicast(std::size_t index, std::string_view payload);
  /// libcpg has nothing of the kind.
  template <class What>
  void together(const What& what) {
    what();
  }
  /// epoll, then cpg_dispatch(CS_DISPATCH_ALL) on each readable handle, until `events` messages have come since the last call.
  void take(std::uint64_t events);
  /// cpg_dispatch(CS_DISPATCH_ALL) on handle 0, once.
  void dispatch_all();
  [[nodiscard]] std::uint64_t received() const noexcept { return received_; }
  [[nodiscard]] std::uint64_t sum() const noexcept { return sum_; }

 private:
  static void deliver(cpg_handle_t handle, const cpg_name* group, std::uint32_t node, std::uint32_t pid, void* message, std::size_t size);
  static void changed(cpg_handle_t handle, const cpg_name* group, const cpg_address* members, std::size_t member_count,
                      const cpg_address* left, std::size_t left_count, const cpg_address* joined, std::size_t joined_count);
  void take_views(std::uint64_t until);

  std::vector<cpg_handle_t> handles_;
  int epoll_ = -1;
  std::uint64_t received_ = 0, views_ = 0, sum_ = 0;
};

}  // namespace cpgring::bench
