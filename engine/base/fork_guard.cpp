#include "base/fork_guard.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace cpgring::base {

fork_guard::fork_guard() {
  const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) {
    throw std::system_error(errno, std::system_category(), "cpgring: mapping a page");
  }
  page_ = unique_mapping(at, size);
  if (::madvise(at, size, MADV_WIPEONFORK) != 0) {
    throw std::system_error(errno, std::system_category(), "cpgring: MADV_WIPEONFORK");
  }
  page_.data()[0] = std::byte{1};
}

}  // namespace cpgring::base
