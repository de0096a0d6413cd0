# The consumer project, configured, built and run against an install tree and against the build's package (which has the shape of the
# wheel's folder), and the words that a wrong torch meets.
set(consumer_dir ${PROJECT_SOURCE_DIR}/test/consumer)
set(consumer_work ${CMAKE_BINARY_DIR}/consumer)

add_test(NAME install COMMAND ${CMAKE_COMMAND} --install ${CMAKE_BINARY_DIR} --prefix ${consumer_work}/prefix)
set_tests_properties(install PROPERTIES FIXTURES_SETUP install_tree)

function(add_consumer_test name prefix)
  add_test(NAME ${name} COMMAND ${CMAKE_CTEST_COMMAND} --build-and-test ${consumer_dir} ${consumer_work}/${name}
    --build-noclean --build-generator ${CMAKE_GENERATOR}
    --build-options -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}
      $<$<BOOL:${CCACHE}>:-DCMAKE_CXX_COMPILER_LAUNCHER=${CCACHE}>
    --test-command ${CMAKE_CTEST_COMMAND} --output-on-failure)
  set_tests_properties(${name} PROPERTIES TIMEOUT 900)
endfunction()
add_consumer_test(consumer_install_tree ${consumer_work}/prefix)
set_tests_properties(consumer_install_tree PROPERTIES FIXTURES_REQUIRED install_tree)
add_consumer_test(consumer_package ${package_dir}/share/cmake) # torch_hpu.cmake_prefix_path

# wrong_torch/ looks like torch 2.12.0. CMake breaks its messages into lines, hence the spaces.
set(wrong_torch -DTorch_DIR=${consumer_dir}/wrong_torch)
add_test(NAME wrong_torch_build
  COMMAND ${CMAKE_COMMAND} -S ${PROJECT_SOURCE_DIR} -B ${consumer_work}/wrong_torch_build -G ${CMAKE_GENERATOR} ${wrong_torch})
set_tests_properties(wrong_torch_build PROPERTIES PASS_REGULAR_EXPRESSION
  "torch_hpu[ \n]+is[ \n]+built[ \n]+for[ \n]+torch[ \n]+2[.]13[.]0,[ \n]+found[ \n]+2[.]12[.]0")
add_test(NAME wrong_torch_package
  COMMAND ${CMAKE_COMMAND} -S ${consumer_dir} -B ${consumer_work}/wrong_torch_package -G ${CMAKE_GENERATOR} ${wrong_torch}
    -DCMAKE_PREFIX_PATH=${package_dir}/share/cmake)
set_tests_properties(wrong_torch_package PROPERTIES PASS_REGULAR_EXPRESSION
  "built[ \n]+for[ \n]+torch[ \n]+2[.]13[.]0,[ \n]+but[ \n]+torch[ \n]+2[.]12[.]0[ \n]+was[ \n]+found")
