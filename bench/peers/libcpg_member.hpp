// One handle of stock libcpg in one group. All peers with libcpg are built from it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <corosync/cpg.h>

namespace cpgring::bench {

/// Throws std::runtime_error unless `code` is CS_OK.
void must(cs_error_t code, const char* what);

class libcpg_member {
 public:
  /// Opens and joins. Repeats the join while the daemon is busy with earlier joins.
  libcpg_member(const std::string& group, cpg_deliver_fn_t deliver, cpg_confchg_fn_t changed = nullptr);
  ~libcpg_member();
  libcpg_member(libcpg_member&& other) noexcept;
  libcpg_member& operator=(libcpg_member&&) = delete;

  /// False: try again later.
  bool multicast(std::string_view payload);
  void multicast_retrying(std::string_view payload);
  [[nodiscard]] cpg_handle_t handle() const noexcept { return handle_; }
  /// To be called when a callback has finalized the handle.
  void forget() noexcept { handle_ = 0; }

 private:
  cpg_handle_t handle_ = 0;
};

}  // namespace cpgring::bench
