"""A Django site with one view that asks a model: all of it in one file.

    pip install django
    python examples/django/digits_site.py runserver
    curl localhost:8000/digit -d @examples/digits/six.json

The model lives in the site's own process: no second server, no request over the network. `runtime/` and an interpreter
are all it needs of dynolite.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import numpy as np  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.management import execute_from_command_line  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from django.views.decorators.http import require_POST  # noqa: E402
from predictor import digits  # noqa: E402

from runtime.errors import OverloadError, RequestError  # noqa: E402

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1", "testserver"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only-signs-what-this-example-never-signs",  # noqa: S106
)


@csrf_exempt
@require_POST
def digit(request: HttpRequest) -> JsonResponse:
    """`{"instances": [8x8 picture, ...]}` in, the digit and its probability for each back."""
    try:
        images = np.array(json.loads(request.body)["instances"], np.float32)
        scores = digits().predict({"image": images})["probabilities"]
    except (ValueError, TypeError, KeyError, RequestError) as error:
        return JsonResponse({"error": str(error)}, status=400)
    except OverloadError as error:
        return JsonResponse({"error": str(error)}, status=503, headers={"Retry-After": str(error.retry_after)})
    best = scores.argmax(axis=1)
    labels = digits().artifact.labels
    told = [
        {"digit": labels[index], "probability": round(float(row[index]), 4)}
        for index, row in zip(best, scores, strict=True)
    ]
    return JsonResponse({"digits": told})


urlpatterns = [path("digit", digit)]
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
