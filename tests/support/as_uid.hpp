// The calling thread as another user, for a scope; what it starts meanwhile stays that user's. For root only.
#pragma once

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace cpgring::test {

class as_uid {
 public:
  explicit as_uid(uid_t uid) { set(uid); }
  as_uid(const as_uid&) = delete;
  as_uid& operator=(const as_uid&) = delete;
  ~as_uid() { set(0); }

 private:
  /// The thread's alone: glibc's own call would change the whole process.
  static void set(uid_t uid) {
    if (::syscall(SYS_setresuid, -1, uid, -1) != 0) {
      std::perror("setresuid");
      std::abort();
    }
  }
};

}  // namespace cpgring::test
