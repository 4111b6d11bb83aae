// The text side of Json: reader and writer.
#include <filesystem>
#include <iterator>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "base/json_scanner.h"

namespace stemma {

// Makes a Json of what a scanner reads. Children are gathered on stacks shared by all levels, so
// that each container is allocated once, at its final size.
class JsonReader {
 public:
  explicit JsonReader(JsonScanner& in) : in_(in) {}

  Json value() {
    switch (in_.kind()) {
      case Json::Kind::null:
        in_.null();
        return {};
      case Json::Kind::boolean:
        return in_.boolean();
      case Json::Kind::number: {
        Json json;
        json.value_.emplace<Json::Number>(Json::Number{std::string(in_.number())});
        return json;
      }
      case Json::Kind::string:
        return in_.string();
      case Json::Kind::array:
        return array();
      case Json::Kind::object:
        break;
    }
    return object();
  }

 private:
  Json array() {
    const size_t base = items_.size();
    in_.array([&] { items_.push_back(value()); });
    const auto first = items_.begin() + static_cast<ptrdiff_t>(base);
    Json json = Json::array({std::move_iterator(first), std::move_iterator(items_.end())});
    items_.erase(first, items_.end());
    return json;
  }

  Json object() {
    const size_t base = members_.size();
    in_.object([&](std::string_view view) {
      std::string key(view);
      Json child = value();
      members_.emplace_back(std::move(key), std::move(child));
    });
    Json json;
    Json::Object& object = json.value_.emplace<Json::Object>();
    object.members.reserve(members_.size() - base);
    for (size_t i = base; i < members_.size(); ++i) {
      auto& [key, child] = members_[i];
      Json* earlier = object.find(key);
      if (earlier && in_.limits().refuse_duplicate_keys)
        in_.error_at(in_.position() - 1, "the object that ends here has the key \"", key,
                     "\" twice");
      if (earlier)
        *earlier = std::move(child);
      else
        object.append(std::move(key), std::move(child));
    }
    members_.resize(base);
    return json;
  }

  JsonScanner& in_;
  std::vector<Json> items_;
  std::vector<Json::Member> members_;
};

Json JsonScanner::value() { return JsonReader(*this).value(); }

Json Json::parse(std::string_view text, std::string_view where, const JsonLimits& limits) {
  JsonScanner in(text, where, limits);
  Json json = in.value();
  in.finish();
  return json;
}

Json Json::parse_file(const std::filesystem::path& path, const JsonLimits& limits) {
  return parse(read_file(path, limits.bytes), path.string(), limits);
}

class JsonWriter {
 public:
  explicit JsonWriter(int indent) : indent_(indent) {}

  void value(const Json& json, int level) {
    switch (json.kind()) {
      case Json::Kind::null:
        text += "null";
        break;
      case Json::Kind::boolean:
        text += json.as_bool() ? "true" : "false";
        break;
      case Json::Kind::number:
        text += json.number_text();
        break;
      case Json::Kind::string:
        quoted(json.as_string());
        break;
      case Json::Kind::array:
        children('[', ']', json.items(), level, [&](const Json& item) { value(item, level + 1); });
        break;
      case Json::Kind::object:
        children('{', '}', json.members(), level, [&](const Json::Member& member) {
          quoted(member.first);
          text += ": ";
          value(member.second, level + 1);
        });
    }
  }

  std::string text;

 private:
  template <class Children, class Write>
  void children(char open, char close, const Children& all, int level, Write write) {
    text += open;
    for (size_t i = 0; i < all.size(); ++i) {
      if (i > 0) text += indent_ < 0 ? ", " : ",";
      new_line(level + 1);
      write(all[i]);
    }
    if (!all.empty()) new_line(level);
    text += close;
  }

  void new_line(int level) {
    if (indent_ >= 0) text.append(1, '\n').append(static_cast<size_t>(indent_ * level), ' ');
  }

  void quoted(std::string_view s) {
    constexpr char kHex[] = "0123456789abcdef";
    text += '"';
    for (const char c : s) {
      const unsigned char byte = static_cast<unsigned char>(c);
      constexpr std::string_view kPlain = "\"\\\b\f\n\r\t", kLetter = "\"\\bfnrt";
      if (const size_t i = kPlain.find(c); i != std::string_view::npos)
        text.append(1, '\\') += kLetter[i];
      else if (byte < 0x20)
        text.append("\\u00").append(1, kHex[byte >> 4]) += kHex[byte & 15];
      else
        text += c;
    }
    text += '"';
  }

  int indent_;
};

std::string Json::dump(int indent) const {
  JsonWriter writer(indent);
  writer.value(*this, 0);
  return std::move(writer.text);
}

}  // namespace stemma
