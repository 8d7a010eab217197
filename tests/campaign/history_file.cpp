#include "campaign/history_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace cpgring::campaign {
namespace {

// The fault is planted at the first message of another member from this one on: its sender delivers it too,
// so there is a history to compare with.
constexpr std::uint64_t spoiled_from = 40;

void put_line(int file, const std::string& line) {
  if (::write(file, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    throw std::system_error(errno, std::generic_category(), "can't write the history");
  }
}

}  // namespace

history_file::history_file(const std::string& path, plant spoil)
    : file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644)), spoil_(spoil) {
  if (!file_) {
    throw std::system_error(errno, std::generic_category(), path);
  }
}

void history_file::begin(const checker::address& self) {
  begun_ = true;
  put_line(file_.get(), fmt::format("process {}:{}\n", self.node, self.pid));
}

void history_file::write(const checker::event& one) {
  std::ostringstream text;
  checker::write(text, one);
  put_line(file_.get(), text.str());
}

bool history_file::message(std::uint64_t number, const std::optional<checker::message_id>& id, bool known) {
  if (number < next_ || !early_.try_emplace(number, numbered{id, known}).second) {
    return false;
  }
  for (auto first = early_.begin(); first != early_.end() && first->first == next_;
       first = early_.erase(first), ++next_) {
    if (first->second.id) {
      put(*first->second.id, first->second.known);
      if (first->second.known) {
        write({checker::event::kind::known, *first->second.id, 0, {}, {}, {}});
      }
    }
  }
  return true;
}

void history_file::put(const checker::message_id& id, bool own) {
  const auto write_message = [this](const checker::message_id& m) {
    write({checker::event::kind::message, m, 0, {}, {}, {}});
  };
  if (held_back_) {
    write_message(id);
    write_message(*std::exchange(held_back_, std::nullopt));
    return;
  }
  const bool spoiled = ++messages_ >= spoiled_from && !own;
  switch (spoiled ? std::exchange(spoil_, plant::nothing) : plant::nothing) {
    case plant::drop: return;
    case plant::swap: held_back_ = id; return;
    case plant::duplicate: write_message(id); break;
    case plant::nothing: break;
  }
  write_message(id);
}

bool history_file::fence() { return early_.empty(); }

void history_file::restart() {
  next_ = 1;
  early_.clear();
}

}  // namespace cpgring::campaign
