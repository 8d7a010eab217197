// Decides which processes may connect to the service, and who owns the files that it shares with them. The
// service trusts that shared memory: an admitted client can do whatever the service can do.
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include <cpgring/result.hpp>
#include <cpgring/service.hpp>

namespace cpgring::service {

/// Effective user and group id of a process, and its supplementary groups.
struct identity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;

  /// The identity of the calling process.
  static identity own();
  /// The identity of the process that connected socket `fd`, as the kernel recorded it at connect(). Empty:
  /// not available.
  static std::optional<identity> peer(int fd);
  [[nodiscard]] bool in(gid_t group) const noexcept;
};

class admission {
 public:
  /// Errors: invalid_param for allow_uid without allow_gid, for allow_gid in a service of root, and for a
  /// group that the service's own user is not in. The text says how to correct it.
  static result<admission> make(const embedded_service_options& options, identity own);

  [[nodiscard]] bool admits(const identity& client) const noexcept;

  struct file_owner {
    uid_t uid;
    gid_t gid;
    mode_t mode;
  };
  /// Owner and mode of the files shared with an admitted client. A service of root gives them to the client;
  /// any other keeps them, since only root can change a file's owner, and opens them to the group if needed.
  [[nodiscard]] file_owner owner_for(const identity& client) const noexcept;
  /// For log texts, such as "root and uid 7 and group 9".
  [[nodiscard]] std::string admitted() const;

 private:
  admission(identity own, std::optional<gid_t> group, std::vector<uid_t> only) noexcept
      : own_(std::move(own)), group_(group), only_(std::move(only)) {}
  [[nodiscard]] bool by_group(const identity& client) const noexcept;

  identity own_;
  std::optional<gid_t> group_;
  std::vector<uid_t> only_;
};

/// Permanently switches all threads of the process to `user`: user id, group id and supplementary groups. The
/// kernel then drops the capabilities of each thread, unless securebits forbid it; those of the calling
/// thread are also dropped explicitly. Errors: name_not_found, invalid_param, access, or an errno.
result<void> become(const std::string& user);

}  // namespace cpgring::service
