// Copies of the two files of a ring, as `cpgring dump` makes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace cpgring::inspect::test {

using bytes = std::vector<std::byte>;

inline bytes content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  bytes all(text.size());
  std::memcpy(all.data(), text.data(), text.size());
  return all;
}

struct copies {
  explicit copies(const std::string& base)
      : header(content_of(base + "-header")), data(content_of(base + "-data")) {}
  bytes header, data;
};

inline void put_u32(bytes& to, std::size_t offset, std::uint32_t value) {
  std::memcpy(to.data() + offset, &value, sizeof value);
}

inline std::string_view text_of(const bytes& all) {
  return {reinterpret_cast<const char*>(all.data()), all.size()};
}

}  // namespace cpgring::inspect::test
