// One handle of stock libcpg's in one group: what every rival of libcpg's is made of.
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
  /// Opens and joins; a daemon that is busy with earlier joins is asked again.
  libcpg_member(const std::string& group, cpg_deliver_fn_t deliver, cpg_confchg_fn_t changed = nullptr);
  ~libcpg_member();
  libcpg_member(libcpg_member&& other) noexcept;
  libcpg_member& operator=(libcpg_member&&) = delete;

  /// false: try again.
  bool multicast(std::string_view payload);
  void multicast_surely(std::string_view payload);
  [[nodiscard]] cpg_handle_t handle() const noexcept { return handle_; }
  /// The handle has been finalized, in a callback.
  void forget() noexcept { handle_ = 0; }

 private:
  cpg_handle_t handle_ = 0;
};

}  // namespace cpgring::bench
