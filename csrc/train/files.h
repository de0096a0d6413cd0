// Small files, read and written whole.
#pragma once

#include <string>

namespace torch_hpu::train {

// Writes everything; false with errno set when that fails.
bool write_all(int file, const std::string& text);

// The file appears under its name only when all of it is on the disk, and stays there after a crash of the system. Errors begin with `what`.
void write_atomically(const std::string& path, const std::string& text, const char* what);

// Makes the entries of a folder (new files, renamed ones) last.
void sync_folder(const std::string& path);

// A folder with all its parents. Errors begin with `what`.
void make_folder(const std::string& path, const char* what);

// All of a file. Errors begin with `what`.
std::string read_file(const std::string& path, const char* what);

}  // namespace torch_hpu::train
