/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file. A text is refused with a line that names the file, or it is a config. */
#include "node/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    config *c = NULL;
    berth_error error = {0};
    berth_status status = config_parse(slice_of(data, size), "/etc/berth.conf",
                                       size % 2 ? "/home/x" : NULL, &c, &error);

    if (status == BERTH_OK ? !c : c || strncmp(error.text, "/etc/berth.conf", 15) != 0)
        abort();
    config_free(c);

    /* Whatever came before, the next file is read as if it were the first. */
    status = config_parse(slice_str("host { name = after }"), "/etc/berth.conf", NULL, &c, &error);
    if (status != BERTH_OK || strcmp(c->name, "after") != 0)
        abort();
    config_free(c);
    return 0;
}
