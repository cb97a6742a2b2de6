/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/output.h"
#include "identity/token_file.h"

#include <stdio.h>
#include <stdlib.h>

int cmd_token_give(const cli_invocation *inv)
{
    char *path = client_path("/v1/daemons/%s/tokens", cli_argument_at(inv, 1)), *text = NULL;
    struct json_object *answer = NULL;
    berth_error error = {0};
    token_file file;
    int code = EXIT_DONE;

    if (token_file_read(cli_argument_at(inv, 0), &file, &error) != BERTH_OK)
        code = output_fail(&error);
    if (code == EXIT_DONE) {
        char *plain = token_file_format(&file);

        text = ask_body(json_bytes_new(slice_str(plain ? plain : "")));
        free(plain);
        code = ask(inv,
                   &(client_request){.method = "POST",
                                     .path = path,
                                     .content_type = "application/json",
                                     .body = slice_str(text)},
                   &answer);
    }
    if (code == EXIT_DONE && cli_flag(inv, "json"))
        output_json(answer);
    else if (code == EXIT_DONE)
        printf("%s holds it\n", field_text(answer, "name"));
    json_object_put(answer);
    free(text);
    free(path);
    return code;
}
