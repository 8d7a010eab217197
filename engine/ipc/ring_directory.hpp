// The directory in which a service has put the files of one connection's rings.
//
// Opened once, without following a link, and its owner checked; its files are opened relative to it, so that what was checked is what is
// used. What was opened is remembered, and nothing else is ever removed. Move-only. One thread.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <cpgring/error.hpp>

#include "base/owned.hpp"

namespace cpgring::ipc {

/// To whom the files of a connection may belong. Root's service gives them to its client, or keeps them. Any other service can only offer
/// files of its own: those of root or of the client are another connection's.
struct ring_owners {
  uid_t service = 0;  ///< who listens, as SO_PEERCRED says
  uid_t client = 0;   ///< our effective uid

  [[nodiscard]] bool may_own_file(uid_t uid) const noexcept { return uid == service || (service == 0 && uid == client); }
  [[nodiscard]] bool may_own_directory(uid_t uid) const noexcept { return uid == 0 || uid == service || uid == client; }
};

class ring_directory {
 public:
  struct file {
    base::unique_fd fd;
    std::size_t size = 0;
  };

  /// Errors: no_descriptors, malformed (another owner), or an errno.
  static result<ring_directory> open(std::string path, ring_owners owners);
  /// For reading and writing. Errors: no_descriptors, malformed (no regular file, another owner, a file with a second name), or an errno.
  result<file> open_file(std::string_view name);
  [[nodiscard]] std::string path_of(std::string_view name) const { return path_ + '/' + std::string(name); }
  /// Gives the descriptor back; no file can be opened from then on.
  void close() noexcept { fd_.reset(); }
  /// Removes the files that were opened, and the directory if it is empty then; whatever has taken their names since then stays.
  void remove_opened() const noexcept;

 private:
  struct opened {
    std::string name;
    ino_t inode;
  };
  ring_directory(base::unique_fd fd, std::string path, ring_owners owners, dev_t device, ino_t inode)
      : fd_(std::move(fd)), path_(std::move(path)), owners_(owners), device_(device), inode_(inode) {}

  base::unique_fd fd_;
  std::string path_;
  ring_owners owners_;
  dev_t device_;
  ino_t inode_;
  std::vector<opened> opened_;
};

}  // namespace cpgring::ipc
