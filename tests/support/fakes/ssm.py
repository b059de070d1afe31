"""AWS Systems Manager's SendCommand and GetCommandInvocation, with an agent that runs the commands."""

import json
import threading
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeSsm:
    """Runs `AWS-RunShellScript` with `run(instance_id, script)`, which returns a finished process."""

    def __init__(self, run):
        self._run = run
        self._results = {}
        self.sent = []

    def handle(self, action, request):
        if action == "SendCommand":
            assert request["DocumentName"] == "AWS-RunShellScript"
            (instance,) = request["InstanceIds"]
            command_id = str(uuid.uuid4())
            self.sent.append((instance, request["Parameters"]["commands"]))
            self._results[command_id] = {
                "CommandId": command_id,
                "InstanceId": instance,
                "Status": "InProgress",
            }
            threading.Thread(target=self._execute, args=(command_id, self.sent[-1])).start()
            return {"Command": {"CommandId": command_id}}
        assert action == "GetCommandInvocation"
        return self._results[request["CommandId"]]

    def _execute(self, command_id, sent):
        instance, commands = sent
        done = self._run(instance, "\n".join(commands))
        self._results[command_id] = {
            **self._results[command_id],
            "Status": "Failed" if done.returncode else "Success",
            "ResponseCode": done.returncode,
            "StandardOutputContent": done.stdout,
            "StandardErrorContent": done.stderr,
        }

    @contextmanager
    def serve(self):
        """Serve on loopback; gives the endpoint's URL."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                action = self.headers["X-Amz-Target"].rpartition(".")[2]
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = json.dumps(fake.handle(action, json.loads(body))).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
